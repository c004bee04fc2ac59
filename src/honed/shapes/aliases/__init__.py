"""Names and the aliases by which people call them."""
