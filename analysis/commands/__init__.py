"""Programs of the server as steps: declared by an administrator, run without a shell, files in and files out."""
