"""How the model is taught a domain, and the phantoms it is taught and tested with."""
