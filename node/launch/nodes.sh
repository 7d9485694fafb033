# nodes
