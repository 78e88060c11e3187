import org.elasticmq.rest.sqs.SQSRestServerBuilder$;

/** ElasticMQ's SQS on a loopback port, until it is killed. */
public class ElasticMq {
  public static void main(String[] arguments) {
    int port = Integer.parseInt(arguments[0]);
    var server = SQSRestServerBuilder$.MODULE$.withInterface("127.0.0.1").withPort(port).start();
    server.waitUntilStarted();
    System.out.println("ready");
  }
}
