"""The stand-alone controllers: thin I/O around the rules."""
