"""What several test folders share: namespaces, browsers, speech."""
