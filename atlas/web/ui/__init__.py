"""Pages for people: Flask, Jinja and a little JavaScript of our own; nothing from another host."""
