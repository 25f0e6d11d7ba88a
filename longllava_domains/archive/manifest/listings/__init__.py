"""Sources that list their studies or scenes themselves, so that no file is opened to find them."""
