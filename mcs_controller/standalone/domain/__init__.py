"""Rules of the stand-alone controllers, as pure functions from observed objects to plans."""
