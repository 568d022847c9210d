"""What people say of sorted units: good, multi-unit or noise."""
