"""How a recording's clock runs against another recording's: fits by ``sync.align`` that a manager has taken over."""
