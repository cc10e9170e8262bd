"""Complete networks and classical pipelines behind one registry."""
