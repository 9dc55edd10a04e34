package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type pairs map[string]string

func (p pairs) String() string {
	return fmt.Sprint(map[string]string(p))
}

func (p pairs) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not key=value", text)
	}
	p[key] = value
	return nil
}

func serve(args []string) error {
	metadata := pairs{}
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	nats := flags.String("nats", "", "address of the nats-server")
	name := flags.String("name", "echo", "name of the service")
	version := flags.String("version", "latest", "version of the service")
	id := flags.String("id", "", "what makes the node's id unique")
	topic := flags.String("topic", "events", "topic to subscribe to; empty for none")
	queue := flags.String("queue", "", "queue group of the subscription")
	kind := flags.String("transport", "nats", "nats or http")
	interval := flags.Duration("register-interval", 30*time.Second, "how often it registers")
	lookup := flags.Duration("lookup", 0, "how long a lookup collects answers; 0: go-micro's own default")
	debug := flags.Bool("debug", false, "with go-micro's own debug handler")
	flags.Var(metadata, "metadata", "key=value, more than once")
	flags.Parse(args)
	if *id == "" {
		*id = fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano())
	}

	registry, transport, broker := natsRegistry(*nats, *lookup), natsTransport(*nats, 0), natsBroker(*nats)
	address := ":0"
	if *kind == "http" {
		transport, address = httpTransport(), "127.0.0.1:0"
	}
	client := newClient(
		clientSelector(newSelector(selectorRegistry(registry))),
		clientRegistry(registry), clientTransport(transport), clientBroker(broker),
	)
	server := newServer(
		serverName(*name), serverVersion(*version), serverId(*id), serverMetadata(metadata), serverAddress(address),
		serverRegistry(registry), serverTransport(transport), serverBroker(broker), serverInterval(*interval),
	)
	node := *name + "-" + *id
	if err := server.Handle(server.NewHandler(&Echo{node: node})); err != nil {
		return err
	}
	if err := server.Handle(server.NewHandler(&Peer{client: client, runs: map[string]int32{}})); err != nil {
		return err
	}
	if *debug {
		if err := handleDebug(server, client); err != nil {
			return err
		}
	}
	if *topic != "" {
		subscriber := server.NewSubscriber(*topic, printed(*topic), subscriberQueue(*queue))
		if err := server.Subscribe(subscriber); err != nil {
			return err
		}
	}
	if err := server.Start(); err != nil {
		return err
	}
	if err := callable(registry, client, *name, node, server.Options().Address); err != nil {
		return err
	}
	// From here on whoever has read the line may tell it to end.
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	print(map[string]string{"serving": *name, "node": node, "address": server.Options().Address, "generation": generation})

	untilEnd(told)
	if err := server.Stop(); err != nil {
		return err
	}
	// The farewell is published without a flush; what is asked after it on the same connection leaves behind it.
	registry.ListServices()
	return nil
}

// Waits until the service answers queries and calls: Start returns before its subscriptions are made.
func callable(registry microRegistry, client microClient, name, node, address string) error {
	limit := time.Now().Add(20 * time.Second)
	for time.Now().Before(limit) {
		reply := new(Rsp)
		request := client.NewRequest(name, "Echo.Who", &Req{}, contentType("application/protobuf"))
		err := client.Call(context.Background(), request, reply, callAddress(address), callRetries(0), callTimeout(time.Second))
		if err == nil && reply.Greeting == node && registered(registry, name, node) {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%s cannot be called at %s", node, address)
}

func registered(registry microRegistry, name, node string) bool {
	services, _ := registry.GetService(name)
	for _, service := range services {
		for _, known := range service.Nodes {
			if known.Id == node {
				return true
			}
		}
	}
	return false
}

func untilEnd(told <-chan os.Signal) {
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		close(ended)
	}()
	select {
	case <-told:
	case <-ended:
	}
}

// Prints each event with what a go-micro subscriber sees of it.
func printed(topic string) func(context.Context, *Req) error {
	return func(ctx context.Context, body *Req) error {
		header, _ := fromContext(ctx)
		print(map[string]any{"topic": topic, "header": header, "body": body})
		return nil
	}
}
