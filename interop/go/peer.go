package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Peer has what a test needs of a service beside Echo; in JSON only.
type Peer struct {
	client microClient
	lock   sync.Mutex
	runs   map[string]int32
}

// Relayed says what a handler calls, with its own context, and how often.
type Relayed struct {
	Service  string          `json:"service"`
	Endpoint string          `json:"endpoint"`
	Body     json.RawMessage `json:"body"`
	Times    int             `json:"times"`
}

// Relay calls on, one call after the other, and gives back all replies.
func (p *Peer) Relay(ctx context.Context, req *Relayed, rsp *[]json.RawMessage) error {
	for i := 0; i < max(req.Times, 1); i++ {
		reply := json.RawMessage{}
		request := p.client.NewRequest(req.Service, req.Endpoint, req.Body, contentType("application/json"))
		if err := p.client.Call(ctx, request, &reply, callRetries(0)); err != nil {
			return fmt.Errorf("relayed: %w", err)
		}
		*rsp = append(*rsp, reply)
	}
	return nil
}

// Header gives all that the handler's context carries, that of the wire too.
func (p *Peer) Header(ctx context.Context, _ *Req, rsp *Rsp) error {
	rsp.Meta, _ = fromContext(ctx)
	return nil
}

// Run counts that it ran, and takes its time.
func (p *Peer) Run(_ context.Context, req *Req, rsp *Rsp) error {
	p.lock.Lock()
	p.runs[req.Name]++
	rsp.Value = p.runs[req.Name]
	p.lock.Unlock()
	time.Sleep(millis(req))
	rsp.Greeting = "ran " + req.Name
	return nil
}

// Runs says how often Run ran for this name.
func (p *Peer) Runs(_ context.Context, req *Req, rsp *Rsp) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	rsp.Value = p.runs[req.Name]
	return nil
}

// Raw gives back the bytes that came.
func (p *Peer) Raw(_ context.Context, req *microFrame, rsp *microFrame) error {
	rsp.Data = req.Data
	return nil
}

func ended(err error) bool {
	return errors.Is(err, io.EOF)
}
