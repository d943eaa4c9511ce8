"""The verbs of `bcl`, one module each; imported only when the verb is used."""
