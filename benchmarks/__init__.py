"""How fast the laboratory is, beside what people use today; each module has `run() -> list[dict]`."""
