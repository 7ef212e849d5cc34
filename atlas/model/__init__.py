"""The field's words as frozen types, without any I/O (DESIGN.md, section 8)."""
