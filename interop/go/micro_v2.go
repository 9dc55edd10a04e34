// What of go-micro v2 the peer uses, under names that every generation has.

//go:build v2

package main

import (
	"time"

	"github.com/micro/go-micro/v2/broker"
	"github.com/micro/go-micro/v2/client"
	"github.com/micro/go-micro/v2/client/selector"
	"github.com/micro/go-micro/v2/codec/bytes"
	"github.com/micro/go-micro/v2/debug/service/handler"
	"github.com/micro/go-micro/v2/errors"
	"github.com/micro/go-micro/v2/metadata"
	"github.com/micro/go-micro/v2/registry"
	"github.com/micro/go-micro/v2/server"
	"github.com/micro/go-micro/v2/transport"
	bnats "github.com/micro/go-plugins/broker/nats/v2"
	rnats "github.com/micro/go-plugins/registry/nats/v2"
	tnats "github.com/micro/go-plugins/transport/nats/v2"
)

const generation = "v2"

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
	return rnats.NewRegistry(options...)
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
	return bnats.NewBroker(broker.Addrs(address))
}

func httpTransport() microTransport {
	return transport.NewTransport()
}

// What a micro.Service of go-micro's own answers beside its handlers, without telling the registry.
func handleDebug(to microServer, client microClient) error {
	return to.Handle(to.NewHandler(handler.NewHandler(client), server.InternalHandler(true)))
}

// How long one attempt may take: this generation has no such limit but the call's own.
func attemptTimeout(time.Duration) []microCallOption {
	return nil
}
