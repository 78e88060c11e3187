"""Models: one provider, one file. ``registry`` maps configured names to them; nothing heavy is imported until a provider is used."""
