//! `Arc<T>` and `Box<T>` of an implementation are implementations, and what the crate promises
//! about threads is checked here when it is compiled.

use std::sync::Arc;

use async_trait::async_trait;

use crate::broker::{self, Broker, Message, SubscribeOptions, Subscription, Topic, TopicFilter};
use crate::registry::{
    self, RegisterOptions, Registry, Service, ServiceName, WatchOptions, Watcher,
};
use crate::transport::{self, Bind, Incoming, Port, Transport};
use crate::{Error, Header, Result};

macro_rules! forward {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: Registry + ?Sized> Registry for $pointer<T> {
            fn name(&self) -> &'static str {
                (**self).name()
            }
            async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
                (**self).register(service, options).await
            }
            async fn deregister(&self, service: &Service) -> Result<()> {
                (**self).deregister(service).await
            }
            async fn get(&self, name: &ServiceName) -> Result<Vec<Service>> {
                (**self).get(name).await
            }
            async fn list(&self) -> Result<Vec<Service>> {
                (**self).list().await
            }
            async fn watch(&self, options: WatchOptions) -> Result<Watcher> {
                (**self).watch(options).await
            }
            fn capabilities(&self) -> registry::Capabilities {
                (**self).capabilities()
            }
            fn health(&self) -> Result<()> {
                (**self).health()
            }
            async fn close(&self) -> Result<()> {
                (**self).close().await
            }
        }

        #[async_trait]
        impl<T: Transport + ?Sized> Transport for $pointer<T> {
            fn name(&self) -> &'static str {
                (**self).name()
            }
            async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
                (**self).open(bind).await
            }
            fn capabilities(&self) -> transport::Capabilities {
                (**self).capabilities()
            }
            fn health(&self) -> Result<()> {
                (**self).health()
            }
        }

        #[async_trait]
        impl<T: Broker + ?Sized> Broker for $pointer<T> {
            fn name(&self) -> &'static str {
                (**self).name()
            }
            fn capabilities(&self) -> broker::Capabilities {
                (**self).capabilities()
            }
            async fn publish(&self, topic: &Topic, message: Message) -> Result<()> {
                (**self).publish(topic, message).await
            }
            async fn subscribe(
                &self,
                topics: &TopicFilter,
                options: SubscribeOptions,
            ) -> Result<Subscription> {
                (**self).subscribe(topics, options).await
            }
            async fn flush(&self) -> Result<()> {
                (**self).flush().await
            }
            fn health(&self) -> Result<()> {
                (**self).health()
            }
        }
    )*};
}

forward!(Arc, Box);

const _: () = {
    const fn shared<T: Send + Sync + ?Sized + 'static>() {}
    const fn sent<T: Send + 'static>() {}
    shared::<dyn Registry>();
    shared::<dyn Transport>();
    shared::<dyn Port>();
    shared::<dyn Broker>();
    shared::<transport::Peer>();
    shared::<Error>();
    shared::<Header>();
    sent::<Box<dyn Incoming>>();
    sent::<transport::Arrival>();
    sent::<Watcher>();
    sent::<Subscription>();
    sent::<broker::Delivery>();
};
