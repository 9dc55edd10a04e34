package main

// Prints what the watcher reports, until the program ends.
func (u *User) watch(command *Command) error {
	watcher, err := u.registry.Watch(watchService(command.Service))
	if err != nil {
		return err
	}
	// The watch itself is not flushed; what is asked after it on the same connection arrives behind it.
	u.registry.GetService(command.Service)
	go func() {
		for {
			result, err := watcher.Next()
			if err != nil {
				print(map[string]any{"watch": command.Name, "ended": err.Error()})
				return
			}
			print(map[string]any{"watch": command.Name, "action": result.Action, "service": result.Service})
		}
	}()
	return nil
}

// The nodes that a call would go to, by how often each of so many would.
func (u *User) selected(command *Command) (any, error) {
	nodes := map[string]int{}
	for i := 0; i < max(command.Count, 1); i++ {
		next, err := u.client.Options().Selector.Select(command.Service)
		if err != nil {
			return nil, err
		}
		node, err := next()
		if err != nil {
			return nil, err
		}
		nodes[node.Id]++
	}
	return nodes, nil
}
