package main

import (
	"context"
	"encoding/json"
)

// Listen counts what becomes of a stream, by the name in its first message: that it began, each message whose value is
// one more than the last one's, and whether it ended well or failed. Its reply, after a good end, is how many came in
// order.
func (p *Peer) Listen(_ context.Context, stream serverStream) error {
	name, order, last := "", int32(0), int32(0)
	for first := true; ; first = false {
		req := new(Req)
		if err := stream.Recv(req); err != nil {
			if !ended(err) {
				p.count(name + " failed")
				return err
			}
			p.count(name + " ended")
			return stream.Send(&Rsp{Value: order})
		}
		if first {
			name, last = req.Name, req.Value-1
			p.count(name + " began")
		}
		if req.Value == last+1 {
			order++
		}
		last = req.Value
		p.count(name + " message")
	}
}

func (p *Peer) count(what string) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.runs[what]++
}

// Chain calls on for each message, with the context of the stream, and streams the replies.
func (p *Peer) Chain(ctx context.Context, stream serverStream) error {
	for {
		relayed := new(Relayed)
		if err := stream.Recv(relayed); err != nil {
			if ended(err) {
				return nil
			}
			return err
		}
		replies := []json.RawMessage{}
		if err := p.Relay(ctx, relayed, &replies); err != nil {
			return err
		}
		if err := stream.Send(&replies); err != nil {
			return err
		}
	}
}

// Pour streams values from 1 to the count that is asked for, without a pause: each in bytes of its own, which
// go-micro sends as they are, and so does not overwrite.
func (p *Peer) Pour(_ context.Context, stream serverStream) error {
	req := new(Req)
	if err := stream.Recv(req); err != nil {
		return err
	}
	for value := int32(1); value <= req.Count; value++ {
		body, err := json.Marshal(&Rsp{Value: value})
		if err != nil {
			return err
		}
		if err := stream.Send(&microFrame{Data: body}); err != nil {
			return err
		}
	}
	return nil
}
