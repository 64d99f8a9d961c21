"""What several families ask of their data and say of their losses."""
