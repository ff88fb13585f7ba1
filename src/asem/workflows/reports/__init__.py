"""Parts of `asem report`: what is found, and the section of the page that it becomes."""
