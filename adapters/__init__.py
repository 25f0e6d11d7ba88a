"""Teaching the model a domain, and the phantoms it is taught and tested with."""
