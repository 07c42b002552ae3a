"""A regular package, for one that REDbot depends on installs a package of this name too."""
