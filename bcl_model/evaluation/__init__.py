"""The protocol: which songs are held out, what is asked, how answers are judged and methods compared and tuned."""
