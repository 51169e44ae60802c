"""Speed, memory and size of models side by side: built alike, given the same work, measured in turn in one process."""
