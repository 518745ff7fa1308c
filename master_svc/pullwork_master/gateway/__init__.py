"""The door over HTTP: the public calls as JSON, by the paths that the contract gives them."""
