package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

// How long a command may take that names no limit of its own.
const limit = 30 * time.Second

// Command is one line of input: what to do, and what that needs.
type Command struct {
	Id       int               `json:"id"`
	Do       string            `json:"do"`
	Name     string            `json:"name"`
	Service  string            `json:"service"`
	Endpoint string            `json:"endpoint"`
	Content  string            `json:"content"`
	Type     string            `json:"type"`
	Body     json.RawMessage   `json:"body"`
	Data     []byte            `json:"data"`
	Metadata map[string]string `json:"metadata"`
	Address  string            `json:"address"`
	Topic    string            `json:"topic"`
	Queue    string            `json:"queue"`
	Packets  []microPacket     `json:"packets"`
	Replies  int               `json:"replies"`
	Count    int               `json:"count"`
	At       int               `json:"at"`
	Retries  int               `json:"retries"`
	Millis   int               `json:"millis"`
	Attempt  int               `json:"attempt"`
	Slow     *Slow             `json:"slow"`
}

func (c *Command) limit() time.Duration {
	if c.Millis == 0 {
		return limit
	}
	return time.Duration(c.Millis) * time.Millisecond
}

// Result is one line of output.
type Result struct {
	Id     int     `json:"id"`
	Value  any     `json:"value,omitempty"`
	Error  *Failed `json:"error,omitempty"`
	Millis int64   `json:"millis"`
}

// Failed is an error as a go-micro caller sees it: its text, and what that parses to.
type Failed struct {
	Id     string `json:"id"`
	Code   int32  `json:"code"`
	Detail string `json:"detail"`
	Status string `json:"status"`
	Text   string `json:"text"`
}

func failedWith(err error) *Failed {
	failed := &Failed{}
	if json.Unmarshal([]byte(err.Error()), failed) != nil {
		failed = &Failed{Detail: err.Error()}
	}
	failed.Text = err.Error()
	return failed
}

// User is one go-micro client with all that belongs to it.
type User struct {
	registry  microRegistry
	transport microTransport
	broker    microBroker
	client    microClient

	lock          sync.Mutex
	streams       map[string]*openStream
	subscriptions map[string]microSubscriber
}

func command(args []string) error {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	nats := flags.String("nats", "", "address of the nats-server")
	pool := flags.Int("pool-size", 100, "sockets that are kept per node")
	silence := flags.Duration("silence", 0, "how long a socket waits for a message; 0: go-micro's own default")
	lookup := flags.Duration("lookup", 0, "how long a lookup collects answers; 0: go-micro's own default")
	flags.Parse(args)

	registry, transport, broker := natsRegistry(*nats, *lookup), natsTransport(*nats, *silence), natsBroker(*nats)
	if err := broker.Connect(); err != nil {
		return err
	}
	user := &User{
		registry: registry, transport: transport, broker: broker,
		client: newClient(
			clientSelector(newSelector(selectorRegistry(registry))),
			clientRegistry(registry), clientTransport(transport), clientBroker(broker), clientPoolSize(*pool),
		),
		streams:       map[string]*openStream{},
		subscriptions: map[string]microSubscriber{},
	}
	print(map[string]string{"ready": generation})

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		command := new(Command)
		if err := json.Unmarshal(lines.Bytes(), command); err != nil {
			return fmt.Errorf("%w in %s", err, lines.Text())
		}
		go user.execute(command)
	}
	return lines.Err()
}

func (u *User) execute(command *Command) {
	began := time.Now()
	value, err := u.bounded(command)
	result := Result{Id: command.Id, Value: value, Millis: time.Since(began).Milliseconds()}
	if err != nil {
		result.Error = failedWith(err)
	}
	print(result)
}

// go-micro's own calls may never return; a command does, a while after its limit.
func (u *User) bounded(command *Command) (any, error) {
	type outcome struct {
		value any
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := u.do(command)
		done <- outcome{value, err}
	}()
	select {
	case outcome := <-done:
		return outcome.value, outcome.err
	case <-time.After(command.limit() + 10*time.Second):
		return nil, errors.New("the peer itself gave up waiting for go-micro")
	}
}

func (u *User) do(command *Command) (any, error) {
	switch command.Do {
	case "list":
		return u.registry.ListServices()
	case "get":
		return u.registry.GetService(command.Service)
	case "watch":
		return nil, u.watch(command)
	case "select":
		return u.selected(command)
	case "call":
		return u.call(command)
	case "load":
		return u.load(command)
	case "packets":
		return u.packets(command)
	case "open", "send", "recv", "recv_all", "close", "close_send":
		return u.stream(command)
	case "publish":
		return nil, u.publish(command)
	case "subscribe":
		return nil, u.subscribe(command)
	case "unsubscribe":
		return nil, u.unsubscribe(command)
	}
	return nil, fmt.Errorf("no such command: %s", command.Do)
}
