"""Three incidents of a running service, recorded by Prometheus and drawn as the dashboard shows them."""
