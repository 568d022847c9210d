"""A result shown to who has a link: read-only, without login, for as long as its makers like."""
