"""The Django project of the laboratory."""
