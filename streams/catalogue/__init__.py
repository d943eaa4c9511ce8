"""Songs: embedded from content, indexed, matched with the warm songs whose audiences they will share."""
