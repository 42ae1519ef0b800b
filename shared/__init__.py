"""What every service may rely on; knows no service."""
