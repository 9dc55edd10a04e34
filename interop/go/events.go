package main

import (
	"encoding/json"
	"fmt"
)

// Publishes an event: through the client, or with the header as it is given, straight to the broker.
func (u *User) publish(command *Command) error {
	if command.Type == "raw" {
		return u.broker.Publish(command.Topic, &microMessage{Header: command.Metadata, Body: command.Data})
	}
	req := new(Req)
	if err := json.Unmarshal(command.Body, req); err != nil {
		return err
	}
	for i := 0; i < max(command.Count, 1); i++ {
		message := u.client.NewMessage(command.Topic, req, messageContent(content(command)))
		if err := u.client.Publish(command.context(), message); err != nil {
			return err
		}
		req.Value++
	}
	return nil
}

// Prints each event as it comes, until it is unsubscribed.
func (u *User) subscribe(command *Command) error {
	name := command.Name
	handler := func(event microEvent) error {
		message := event.Message()
		print(map[string]any{"event": name, "topic": event.Topic(), "header": message.Header, "data": message.Body})
		return nil
	}
	subscription, err := u.broker.Subscribe(command.Topic, handler, brokerQueue(command.Queue))
	if err != nil {
		return err
	}
	u.lock.Lock()
	u.subscriptions[name] = subscription
	u.lock.Unlock()
	return nil
}

func (u *User) unsubscribe(command *Command) error {
	u.lock.Lock()
	subscription := u.subscriptions[command.Name]
	delete(u.subscriptions, command.Name)
	u.lock.Unlock()
	if subscription == nil {
		return fmt.Errorf("no subscription %s", command.Name)
	}
	return subscription.Unsubscribe()
}
