"""What leaves the laboratory with a result. No Django: the same functions serve a page, REST and a notebook."""
