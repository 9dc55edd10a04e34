// What of go-micro v6 the peer uses, under names that every generation has.

//go:build v6

package main

import (
	"fmt"
	"time"

	"go-micro.dev/v6/broker"
	bnats "go-micro.dev/v6/broker/nats"
	"go-micro.dev/v6/client"
	"go-micro.dev/v6/codec/bytes"
	"go-micro.dev/v6/errors"
	"go-micro.dev/v6/metadata"
	"go-micro.dev/v6/registry"
	rnats "go-micro.dev/v6/registry/nats"
	"go-micro.dev/v6/selector"
	"go-micro.dev/v6/server"
	"go-micro.dev/v6/transport"
	tnats "go-micro.dev/v6/transport/nats"
)

const generation = "v6"

type (
	microBroker     = broker.Broker
	microClient     = client.Client
	microEvent      = broker.Event
	microFrame      = bytes.Frame
	microHandling   = server.Option
	microMessage    = broker.Message
	microMetadata   = metadata.Metadata
	microNode       = registry.Node
	microPacket     = transport.Message
	microRegistry   = registry.Registry
	microServer     = server.Server
	microService    = registry.Service
	microSocket     = transport.Client
	microStream     = client.Stream
	microSubscriber = broker.Subscriber
	microTransport  = transport.Transport
	microCallOption = client.CallOption
	serverStream    = server.Stream
)

var (
	newServer        = server.NewServer
	serverName       = server.Name
	serverVersion    = server.Version
	serverId         = server.Id
	serverMetadata   = server.Metadata
	serverRegistry   = server.Registry
	serverTransport  = server.Transport
	serverBroker     = server.Broker
	serverAddress    = server.Address
	serverInterval   = server.RegisterInterval
	subscriberQueue  = server.SubscriberQueue
	newClient        = client.NewClient
	clientRegistry   = client.Registry
	clientTransport  = client.Transport
	clientBroker     = client.Broker
	clientSelector   = client.Selector
	clientPoolSize   = client.PoolSize
	callAddress      = client.WithAddress
	callTimeout      = client.WithRequestTimeout
	callRetries      = client.WithRetries
	contentType      = client.WithContentType
	messageContent   = client.WithMessageContentType
	streamingRequest = client.StreamingRequest
	newSelector      = selector.NewSelector
	selectorRegistry = selector.Registry
	brokerQueue      = broker.Queue
	watchService     = registry.WatchService
	newError         = errors.New
	newContext       = metadata.NewContext
	fromContext      = metadata.FromContext
)

// How long a lookup collects answers is go-micro's own default, unless it is given.
func natsRegistry(address string, lookup time.Duration) microRegistry {
	options := []registry.Option{registry.Addrs(address)}
	if lookup > 0 {
		options = append(options, registry.Timeout(lookup))
	}
	return rnats.NewNatsRegistry(options...)
}

// How long a socket waits for a message is go-micro's own default, unless it is given.
func natsTransport(address string, silence time.Duration) microTransport {
	options := []transport.Option{transport.Addrs(address)}
	if silence > 0 {
		options = append(options, transport.Timeout(silence))
	}
	return tnats.NewTransport(options...)
}

func natsBroker(address string) microBroker {
	return bnats.NewNatsBroker(broker.Addrs(address))
}

func httpTransport() microTransport {
	return transport.NewHTTPTransport()
}

// The packages of this generation that the peer is built from have none.
func handleDebug(microServer, microClient) error {
	return fmt.Errorf("no debug handler of go-micro %s is known here", generation)
}

// How long one attempt may take: in this generation the connection timeout.
func attemptTimeout(limit time.Duration) []microCallOption {
	return []microCallOption{client.WithConnectionTimeout(limit)}
}
