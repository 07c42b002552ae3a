"""From pixels to pixels: size, colour, which way up, what they lie on."""
