package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// One call; the body by its type: `echo` (the default), `string` (a StringValue), `json` (any) or `raw`.
func (u *User) call(command *Command) (any, error) {
	body, reply, err := bodies(command)
	if err != nil {
		return nil, err
	}
	request := u.client.NewRequest(command.Service, command.Endpoint, body, contentType(content(command)))
	if err := u.client.Call(command.context(), request, reply, command.options()...); err != nil {
		return nil, err
	}
	return shown(reply), nil
}

func content(command *Command) string {
	if command.Content == "" {
		return "application/json"
	}
	return command.Content
}

func bodies(command *Command) (body, reply any, err error) {
	switch command.Type {
	case "", "echo":
		req := new(Req)
		if len(command.Body) > 0 {
			err = json.Unmarshal(command.Body, req)
		}
		return req, new(Rsp), err
	case "string":
		text := new(wrapperspb.StringValue)
		err = json.Unmarshal(command.Body, &text.Value)
		return text, new(wrapperspb.StringValue), err
	case "json":
		return command.Body, new(json.RawMessage), nil
	case "raw":
		return &microFrame{Data: command.Data}, new(microFrame), nil
	}
	return nil, nil, fmt.Errorf("no such type of a body: %s", command.Type)
}

func shown(reply any) any {
	switch reply := reply.(type) {
	case *wrapperspb.StringValue:
		return reply.Value
	case *microFrame:
		return reply.Data
	}
	return reply
}

func (c *Command) context() context.Context {
	if c.Metadata == nil {
		return context.Background()
	}
	return newContext(context.Background(), microMetadata(c.Metadata))
}

func (c *Command) options() []microCallOption {
	options := []microCallOption{callRetries(c.Retries), callTimeout(c.limit())}
	attempt := c.limit()
	if c.Attempt != 0 {
		attempt = time.Duration(c.Attempt) * time.Millisecond
	}
	if c.Attempt >= 0 {
		options = append(options, attemptTimeout(attempt)...)
	}
	if c.Address != "" {
		options = append(options, callAddress(c.Address))
	}
	return options
}
