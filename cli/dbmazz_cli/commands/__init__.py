"""One module per subcommand. On import each needs click only; what it works with is imported when it runs."""
