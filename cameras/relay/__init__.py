"""Live pictures to browsers: one subscription per camera and process, one newest frame for all its viewers."""
