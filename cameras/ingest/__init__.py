"""What the camera agents talk to: takes frames, writes recordings, passes live pictures on."""
