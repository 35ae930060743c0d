"""A phone without a phone: Debian's real adbd over an aarch64 root, in namespaces of its own."""
