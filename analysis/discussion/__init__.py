"""What people say of results: comments, the papers that they are for, and results side by side."""
