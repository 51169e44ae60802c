"""WMT-14 German-English: archives, text, sub-words, training commands."""
