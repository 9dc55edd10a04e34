package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A stream that a client has open, by its name.
type openStream struct {
	stream microStream
	next   chan received
}

type received struct {
	reply *Rsp
	err   error
}

// More than go-micro itself has room for.
const streamed = 16384

func (u *User) stream(command *Command) (any, error) {
	if command.Do == "open" {
		return nil, u.open(command)
	}
	u.lock.Lock()
	open := u.streams[command.Name]
	u.lock.Unlock()
	if open == nil {
		return nil, fmt.Errorf("no stream %s", command.Name)
	}
	switch command.Do {
	case "send":
		req := new(Req)
		if err := json.Unmarshal(command.Body, req); err != nil {
			return nil, err
		}
		return nil, open.sends(req, command)
	case "recv":
		return open.one(command.limit())
	case "recv_all":
		return open.all(command.limit())
	case "close_send":
		if half, can := any(open.stream).(interface{ CloseSend() error }); can {
			return nil, half.CloseSend()
		}
		return nil, errors.New("this generation has no CloseSend")
	}
	u.lock.Lock()
	delete(u.streams, command.Name)
	u.lock.Unlock()
	return nil, open.stream.Close()
}

func (u *User) open(command *Command) error {
	request := u.client.NewRequest(command.Service, command.Endpoint, &Req{}, contentType(content(command)), streamingRequest())
	stream, err := u.client.Stream(command.context(), request, command.options()...)
	if err != nil {
		return err
	}
	open := &openStream{stream, make(chan received, streamed)}
	u.lock.Lock()
	u.streams[command.Name] = open
	u.lock.Unlock()
	go open.read()
	return nil
}

// Sends the message so many times, each with a value one higher.
func (o *openStream) sends(req *Req, command *Command) error {
	for i := 0; i < max(command.Count, 1); i++ {
		if err := o.stream.Send(req); err != nil {
			return err
		}
		req.Value++
	}
	return nil
}

func (o *openStream) read() {
	defer close(o.next)
	for {
		reply := new(Rsp)
		err := o.stream.Recv(reply)
		select {
		case o.next <- received{reply, err}:
		default:
			return
		}
		if err != nil {
			return
		}
	}
}

func (o *openStream) one(limit time.Duration) (any, error) {
	select {
	case next, more := <-o.next:
		switch {
		case !more:
			return nil, errors.New("nothing can come any more")
		case next.err != nil && ended(next.err):
			return map[string]bool{"end": true}, nil
		case next.err != nil:
			return nil, next.err
		}
		return next.reply, nil
	case <-time.After(limit):
		return nil, errors.New("nothing came in time")
	}
}

// All values up to the stream's end, and how that was.
func (o *openStream) all(limit time.Duration) (any, error) {
	values, until := []int32{}, time.Now().Add(limit)
	for {
		next, err := o.one(time.Until(until))
		if err != nil {
			return map[string]any{"values": values, "error": failedWith(err)}, nil
		}
		reply, more := next.(*Rsp)
		if !more {
			return map[string]any{"values": values}, nil
		}
		values = append(values, reply.Value)
	}
}
