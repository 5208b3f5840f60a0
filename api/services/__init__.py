"""What the HTTP routes and the command line share, a module for each resource."""
