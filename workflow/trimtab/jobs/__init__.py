"""How a program starts, shows progress, is asked to stop, and keeps a second run out."""
