"""The command `outgate`."""
